"""A local server that speaks as much of the Hugging Face protocol as minke uses, and misbehaves on request."""

import hashlib
import http.server
import json
import threading


class Hub:
    """files: name -> bytes of the one repository "owner/repo"."""

    def __init__(self, files):
        self.files = files
        self.requests = []      # (path, headers)
        self.cut_after = None   # bytes after which the next file transfer breaks off, once
        self.token = None       # what a client must send
        self.wrong_digest = False
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def digest(self, name):
        text = hashlib.sha256(self.files[name]).hexdigest()
        return text[::-1] if self.wrong_digest else text

    def list(self):
        return {"sha": "c0ffee", "cardData": {"license": "mit"},
                "siblings": [{"rfilename": n, "size": len(b), "lfs": {"sha256": self.digest(n)}}
                             for n, b in self.files.items()]}

    def answer(self, request):
        path = request.path.split("?")[0]
        self.requests.append((path, dict(request.headers)))
        if self.token and not path.startswith("/cdn/") and \
                request.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(request, 401, b"")
        if path.startswith("/api/models/owner/repo/revision/"):
            return self.send(request, 200, json.dumps(self.list()).encode())
        name = path.rsplit("/", 1)[1]
        if name not in self.files:
            return self.send(request, 404, b"")
        if path.startswith("/owner/repo/resolve/c0ffee/"):
            return self.send(request, 302, b"", Location=f"/cdn/{name}",
                             **{"X-Linked-ETag": f'"{self.digest(name)}"'})
        return self.send_file(request, self.files[name])

    def send_file(self, request, data):
        tag = '"' + hashlib.md5(data).hexdigest() + '"'
        begin, status = 0, 200
        wanted = request.headers.get("Range", "")
        if wanted and request.headers.get("If-Range", tag) == tag:
            begin, status = int(wanted.removeprefix("bytes=").split("-")[0]), 206
        self.send(request, status, data[begin:], ETag=tag)

    def send(self, request, status, body, **headers):
        request.send_response(status)
        for key, value in headers.items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if body and "ETag" in headers and self.cut_after is not None:
            body, self.cut_after = body[:self.cut_after], None
            request.close_connection = True
        request.wfile.write(body)
