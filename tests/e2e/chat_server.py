"""A local server that answers chat completions as OpenAI's do, and misbehaves on request."""

import hashlib
import http.server
import json
import threading
import time


class ChatServer:
    """What it says follows from question and seed alone. `misbehave(number)` names what goes wrong
    with request `number`: a status, or "malformed", "empty", "cut", "late"; None: nothing."""

    def __init__(self, misbehave=lambda number: None):
        self.misbehave = misbehave
        self.requests = []  # (headers, body)
        self.answered = []  # (question, seed) of good replies
        self.lock = threading.Lock()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128  # of five, as is usual, the sixth waits a second

            def handle_error(self, *_):
                pass  # clients that are killed

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, body):
        """Parities: right three times out of four."""
        question = body["messages"][0]["content"]
        bits = question.split()[-1]
        dice = hashlib.sha256(f"{question} {body['seed']}".encode()).digest()[0]
        said = (bits.count("1") + (dice < 64)) % 2
        tokens = ["<answer>", str(said), "</answer>"]
        return {"choices": [{"index": 0, "finish_reason": "stop", "message": {
                    "role": "assistant", "content": "".join(tokens), "reasoning_content": bits},
                    "logprobs": {"content": [{"token": t, "logprob": -dice / 256} for t in tokens]}
                    if body.get("logprobs") else None}],
                "usage": {"completion_tokens": 7}}

    def answer(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self.lock:
            number = len(self.requests)
            self.requests.append((dict(request.headers), body))
        fault = self.misbehave(number)
        text = json.dumps(self.reply(body)).encode()
        if fault == "late":
            time.sleep(2)
        if isinstance(fault, int):
            text = json.dumps({"error": {"message": f"it is {fault}"}}).encode()
        elif fault == "malformed":
            text = text[:-9]
        elif fault == "empty":
            text = b'{"choices": []}'
        try:
            request.send_response(fault if isinstance(fault, int) else 200)
            if fault in (301, 302):
                request.send_header("Location", "http://127.0.0.1:1/")
            request.send_header("Content-Length", str(len(text)))
            request.end_headers()
            request.wfile.write(text[:5] if fault == "cut" else text)
        except OSError:
            return
        if fault is None:
            with self.lock:
                self.answered.append((body["messages"][0]["content"], body["seed"]))
