"""Live Desktop in a real browser: headless Chromium, driven over its DevTools protocol.

    desktop.py MESHD AXE PICTURES [CHROMIUM]

MESHD is the program under test, AXE the file axe.min.js of axe-core, PICTURES a directory for screenshots. Walks through
the pages at the width of a desk and of a phone, with and without scripts; fails if a page does not do what it should, if
the console has a complaint (the content security policy makes some), if axe-core finds a fault, or if something that is
to be touched is smaller than 44 by 44 pixels on a phone.
"""

import asyncio
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import websockets

FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --ignore-certificate-errors --remote-debugging-port=0 --hide-scrollbars
    --remote-allow-origins=*""".split()
DESK, PHONE = (1280, 900), (390, 844)
PATIENCE = 20

# What is smaller than a finger: links, buttons and fields that can be seen. Links inside of a sentence may be.
SMALL = """[...document.querySelectorAll('main a, main button, main input, main select, main summary, header a, header button')]
    .filter(e => e.type !== 'hidden' && e.checkVisibility() && !e.closest('p:not(:has(> .button))') && !e.matches('.skip'))
    .map(e => [e, (e.matches('input[type=radio], input[type=checkbox]') ? e.closest('label') : e).getBoundingClientRect()])
    .filter(([e, r]) => r.width > 1 && (r.height < 43.5 || r.width < 24))
    .map(([e, r]) => `${e.outerHTML.slice(0, 80)} ${r.width}x${r.height}`)"""


class Page:
    """A tab."""

    def __init__(self, socket):
        self.socket, self.number, self.waiting, self.complaints = socket, 0, {}, []
        self.loaded = asyncio.Event()
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                self.waiting.pop(message["id"]).set_result(message)
            elif message["method"] == "Page.loadEventFired":
                self.loaded.set()
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))

    async def call(self, method, **params):
        self.number += 1
        answer = self.waiting[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        answer = await asyncio.wait_for(answer, PATIENCE)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def run(self, script):
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def go(self, url):
        self.loaded.clear()
        await self.call("Page.navigate", url=url)
        await asyncio.wait_for(self.loaded.wait(), PATIENCE)

    async def then(self, script):
        """Does something that loads another page, and waits for it."""
        self.loaded.clear()
        await self.run(script)
        await asyncio.wait_for(self.loaded.wait(), PATIENCE)

    async def until(self, script):
        """Waits until the page is as it should be. Looks again after every frame, also across a reload."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            try:
                if await self.run(script):
                    return
            except RuntimeError:
                pass  # between two pages
            await asyncio.sleep(0.02)
        raise SystemExit(f"never true: {script}, at {await self.run('location.href + document.body.innerText')}")

    async def fill(self, **fields):
        for name, value in fields.items():
            await self.run(f"document.querySelector('main [name={name}]').value = {json.dumps(value)}")

    async def look(self, width, height, scheme="light"):
        mobile = width < 500
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self, path):
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
        path.write_bytes(base64.b64decode(shot["data"]))


async def browse(url, page, axe, pictures, files):
    faults, checked = [], 0

    async def see(name, path=None):
        """Looks at a page in every way."""
        nonlocal checked
        if path:
            await page.go(url + path)
        for (width, height), scheme in [(DESK, "light"), (DESK, "dark"), (PHONE, "light")]:
            await page.look(width, height, scheme)
            await page.picture(pictures / f"{name}-{width}-{scheme}.png")
            # The policy of the pages lets no script in: axe-core comes in as the debugger's, not as the page's.
            await page.run(axe)
            found = await page.run("axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | ')))")
            faults.extend(f"{name} {width} {scheme}: {fault}" for fault in found)
            wide = await page.run("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                faults.append(f"{name} {width}: {wide} pixels wider than the window")
            if width == PHONE[0]:
                faults.extend(f"{name}: too small to touch: {what}" for what in await page.run(SMALL))
            checked += 1
        await page.look(*DESK)

    # First something that has to be found, so that silence means something.
    await page.go(url + "/desktop/")
    await page.look(*PHONE)
    await page.run("document.querySelector('main').insertAdjacentHTML('beforeend', '<div><a href=x>x</a><img src=x></div>')")
    await page.run(axe)
    if not await page.run("axe.run().then(r => r.violations.some(v => v.id === 'image-alt'))"):
        faults.append("axe-core did not find a picture without text")
    if not await page.run(f"({SMALL}).length === 1"):
        faults.append("a small link was not found")
    page.complaints.clear()  # of that picture

    submit = "document.querySelector('main form button.main, main form button.danger').click()"
    await see("sign-in", "/desktop/")
    await see("register", "/desktop/register")
    await page.fill(name="ann", password="correct horse", again="correct horse")
    await page.then(submit)
    await see("home-empty")
    for name in ["Documents", "Holiday pictures", "Work"]:
        await page.fill(name=name)
        await page.then(submit)
        folder = await page.run("location.pathname")
        await page.go(url + "/desktop/")
    await page.go(url + folder)
    await see("folder-empty")

    # Upload with the script: choosing is enough, the page comes again when all are there.
    await page.call("DOM.enable")
    document = await page.call("DOM.getDocument")
    field = await page.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#files")
    await page.call("DOM.setFileInputFiles", nodeId=field["nodeId"], files=[str(file) for file in files])
    await page.until(f"document.querySelectorAll('table.files tbody tr').length === {len(files)} && document.readyState === 'complete'")
    await page.fill(name="Letters")
    await page.then("document.querySelector('details.make form button').click()")
    await see("folder")

    # The same file once more by a drop: it gets a name of its own.
    await page.run("""{
        const data = new DataTransfer();
        data.items.add(new File(["dropped"], "notes.txt", {type: "text/plain"}));
        document.querySelector("main").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    await page.until("document.body.textContent.includes('notes (2).txt') && document.readyState === 'complete'")

    # Without scripts: the form as it is.
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.go(url + folder)
    document = await page.call("DOM.getDocument")
    field = await page.call("DOM.querySelector", nodeId=document["root"]["nodeId"], selector="#files")
    await page.call("DOM.setFileInputFiles", nodeId=field["nodeId"], files=[str(files[0])])
    await page.picture(pictures / "folder-no-script.png")
    await page.then("document.querySelector('form.upload button').click()")
    await page.call("Emulation.setScriptExecutionDisabled", value=False)
    await page.until("document.body.textContent.includes('(3).txt') && document.querySelector('.notice') !== null")

    # By keyboard: the first stop is the way past the header.
    await page.go(url + folder)
    for _ in range(1):
        for kind in ["keyDown", "keyUp"]:
            await page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    if await page.run("document.activeElement.className") != "skip":
        faults.append("the first stop is not the skip link")

    await see("file-text", f"{folder}file?path=notes.txt")
    await see("file-image", f"{folder}file?path=picture.png")
    if await page.run("document.querySelector('.preview img').naturalWidth") != 64:
        faults.append("the picture is not shown")
    for name, path in [("rename", f"{folder}rename?path=notes.txt"), ("remove", f"{folder}remove?path=notes.txt"),
                       ("sharing", f"{folder}members"), ("settings", f"{folder}settings"), ("removal", f"{folder}removal"), ("account", "/desktop/account"),
                       ("folder-news", f"{folder}news"), ("news", "/desktop/news"), ("devices", "/desktop/devices"), ("codes", "/desktop/codes"), ("home", "/desktop/")]:
        await see(name, path)
    await page.go(f"{url}{folder}remove?path=notes.txt")
    await page.then(submit)
    await page.until("document.querySelector('.notice')?.textContent === 'Deleted.'")
    await page.then("document.querySelector('form.who button').click()")
    await page.go(url + folder)
    if not (await page.run("location.pathname")).startswith("/desktop/sign-in"):
        faults.append("signed out, and the folder is shown")
    await passkey(url, page, see, faults)
    faults.extend(f"console: {complaint}" for complaint in page.complaints)
    return checked, faults


async def passkey(url, page, see, faults):
    """Adds a passkey and signs in with it. Chromium's authenticator is in software, the rest is as it is for people."""
    hidden = "document.querySelector('form[data-passkey]').hidden"
    await page.go(f"{url}/desktop/sign-in")
    if not await page.run(f"{hidden} && document.querySelector('[data-elsewhere] a').checkVisibility()"):
        faults.append("at an address, the page does not say where passkeys work")
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.go(f"{url}/desktop/sign-in")
    await page.call("Emulation.setScriptExecutionDisabled", value=False)
    if not await page.run(f"{hidden} && document.querySelector('[name=password]').checkVisibility()"):
        faults.append("without scripts there is not the password alone")

    await page.then("document.querySelector('[data-elsewhere] a').click()")
    if await page.run("location.hostname") != "localhost":
        faults.append("the link to where passkeys work leads elsewhere")
    await see("sign-in-passkey")
    await page.fill(name="ann", password="correct horse")
    await page.then("document.querySelector('main form button.main').click()")
    await page.then("document.querySelector('form.who a').click()")
    await page.call("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
               "isUserVerified": True, "automaticPresenceSimulation": True}
    device = (await page.call("WebAuthn.addVirtualAuthenticator", options=options))["authenticatorId"]
    use = "document.querySelector('form[data-passkey] button').click()"
    said = "document.querySelector('form[data-passkey] .wrong').textContent"
    await page.fill(label="This laptop")
    await page.then(use)
    await page.until("document.querySelector('.notice')?.textContent.startsWith('The passkey was added.')")
    await see("account-passkey")
    await page.fill(label="The same again")
    await page.run(use)
    await page.until(f"{said}.startsWith('There is a passkey')")

    # A password for a program is shown once.
    await page.run("document.querySelector('#program').value = 'rclone'")
    await page.then("document.querySelector('form[action$=app-passwords] button').click()")
    if await page.run("document.querySelector('#made').textContent.length") != 32:
        faults.append("the password for a program is not shown")
    await see("account-app-password")
    await page.then("document.querySelector('form.who a').click()")
    if await page.run("document.querySelector('#made') !== null || !document.body.textContent.includes('rclone')"):
        faults.append("the password for a program is shown again, or not listed")
    await page.then("document.querySelector('form.who button').click()")
    await page.call("WebAuthn.setUserVerified", authenticatorId=device, isUserVerified=False)
    await page.run(use)
    await page.until(f"{said} === 'No passkey was used.'")
    await see("sign-in-no-passkey")
    await page.call("WebAuthn.setUserVerified", authenticatorId=device, isUserVerified=True)
    await page.then(use)
    if await page.run("location.pathname + document.querySelector('form.who a')?.textContent") != "/desktop/ann":
        faults.append("a passkey did not sign in")
    await page.then("document.querySelector('form.who a').click()")
    await page.then("document.querySelector('form[action*=\"/passkeys/\"] button').click()")
    await page.then("document.querySelector('form.who button').click()")
    await page.then(use)
    if "does not sign in here" not in await page.run("document.querySelector('#wrong').textContent"):
        faults.append("a passkey that was removed is not refused")
    page.complaints[:] = [text for text in page.complaints if "/desktop/sign-in/passkey" not in text]  # that refusal


async def main(meshd, axe, pictures, chromium="chromium"):
    pictures = pathlib.Path(pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        files = [scratch / "notes.txt", scratch / "picture.png", scratch / "large.bin", scratch / "page.html"]
        files[0].write_text("To do\n\n- water the plants\n- call Bob\n")
        files[1].write_bytes(picture())
        files[2].write_bytes(os.urandom(5_000_000))
        files[3].write_text("<script>document.title = 'run'</script>")
        with subprocess.Popen([meshd, "--listen", "127.0.0.1:0", "--data", scratch / "cloud"], stdout=subprocess.PIPE, text=True) as cloud:
            try:
                url = cloud.stdout.readline().strip()
                with subprocess.Popen([chromium, *FLAGS, f"--user-data-dir={scratch / 'profile'}", "about:blank"],
                                      stderr=subprocess.PIPE, text=True) as browser:
                    try:
                        for line in browser.stderr:
                            if "DevTools listening on " in line:
                                break
                        host = line.split("ws://")[1].split("/")[0]
                        tabs = json.load(urllib.request.urlopen(f"http://{host}/json"))
                        address = next(tab for tab in tabs if tab["type"] == "page")["webSocketDebuggerUrl"]
                        async with websockets.connect(address, max_size=None) as socket:
                            page = Page(socket)
                            for domain in ["Page", "Runtime", "Log", "Network"]:
                                await page.call(f"{domain}.enable")
                            checked, faults = await browse(url, page, pathlib.Path(axe).read_text(), pictures, files)
                    finally:
                        browser.terminate()
            finally:
                cloud.terminate()
    for fault in faults:
        print("desktop:", fault)
    print(f"desktop: {checked} pages looked at with axe-core and Chromium, {len(faults)} faults")
    return 1 if faults else 0


def picture():
    """A PNG of 64 by 64 pixels."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(v for x in range(64) for v in (x * 4, y * 4, 160)) for y in range(64))
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
