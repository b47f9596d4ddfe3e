"""HTTP to a cloud: spec/graph.md section 3.2 (problem documents) and section 3.2 of spec/ticket.md (tickets in fields).

A client knows a root URL and follows links (GPH-010); no path is written here but `/`.
"""

import http.client
import json
import ssl
import time
from urllib.parse import urlencode, urlsplit


class Problem(Exception):
    """An error answer: its status, the name of the error and the sentence that it enforces."""

    def __init__(self, status, document, headers):
        self.status, self.headers = status, headers
        self.error = document.get("type", "").removeprefix("urn:meshproof:error:")
        self.requirement = document.get("requirement", "")
        super().__init__(f"{status} {self.error} ({self.requirement})")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def etag(self):
        return self.headers["ETag"]

    @property
    def location(self):
        return self.headers["Location"]

    def json(self):
        return json.loads(self.body) if self.body else {}


class Cloud:
    """One connection to one cloud. Not for several threads."""

    def __init__(self, root, ca=None):
        parts = urlsplit(root)
        self.root, self.host, self.port = root, parts.hostname, parts.port or 443
        self.context = ssl.create_default_context(cafile=ca)
        self.connection = None
        self._links = None

    def request(self, method, path, body=None, headers=(), query=None, authorization=None, timeout=90):
        """Bodies are JSON, or bytes for storage. A 503 says that nothing was done (section 3.2) and is tried again."""
        headers = dict(headers)
        if isinstance(body, (bytes, bytearray)):
            headers.setdefault("Content-Type", "application/octet-stream")
        elif body is not None:
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if authorization:
            headers["Authorization"] = authorization
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query)
        for attempt in range(4):
            answer = self._exchange(method, path, body, headers, timeout)
            if answer.status != 503 or attempt == 3:
                break
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 10))
        if answer.status >= 400:
            try:
                document = answer.json()
            except ValueError:
                document = {}
            raise Problem(answer.status, document, answer.headers)
        return answer

    def _exchange(self, method, path, body, headers, timeout):
        for fresh in (False, True):
            if self.connection is None or fresh:
                self.close()
                self.connection = http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=timeout)
                fresh = True
            try:
                self.connection.request(method, path, body, headers)
                response = self.connection.getresponse()
                return Answer(response.status, response.headers, response.read())
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                if fresh:                                           # a kept connection may have ended meanwhile, a new one not
                    raise

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def link(self, name):
        """A link of the service document."""
        if self._links is None:
            self._links = self.request("GET", "/").json()["links"]
        return self._links[name]
