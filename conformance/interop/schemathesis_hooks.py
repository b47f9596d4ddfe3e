"""What schemathesis does not know of itself: the media type of a piece of an upload."""

import schemathesis


@schemathesis.serializer("application/partial-upload")
def piece(_, value):
    return {"data": value if isinstance(value, (bytes, str)) else b"piece"}
