"""Serves a GGUF model on the CPU with OpenVINO GenAI as an OpenAI-compatible endpoint, many requests in one batch.

    pip install openvino-genai
    python benchmarks/openvino_server.py qwen2.5-coder-1.5b-instruct-q4_k_m.gguf --port 8089

It batches requests, which the Python server of llama.cpp takes one at a time, and keeps the prefixes that turns share.
On two cores its rate is about the same, some 75 tokens of a prompt a second and core. For measurements alone: chat
completions, without streaming.
"""

import argparse
import json
import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openvino_genai as genai


class Engine(threading.Thread):
    """One thread steps the pipeline; a request waits on its own queue."""

    def __init__(self, model: str, threads: int) -> None:
        super().__init__(daemon=True)
        scheduler = genai.SchedulerConfig()
        scheduler.cache_size, scheduler.enable_prefix_caching = 6, True
        scheduler.max_num_batched_tokens, scheduler.max_num_seqs = 512, 64
        self.pipeline = genai.ContinuousBatchingPipeline(model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self.tokenizer = self.pipeline.get_tokenizer()
        self.waiting: queue.Queue = queue.Queue()
        self.running: dict = {}

    def run(self) -> None:
        number = 0
        while True:
            while not self.waiting.empty() or not self.running:
                ids, config, done = self.waiting.get()
                number += 1
                self.running[number] = (self.pipeline.add_request(number, ids, config), done)
            self.pipeline.step()
            for key, (handle, done) in [*self.running.items()]:
                if handle.get_status() != genai.GenerationStatus.RUNNING:
                    done.put(handle.read_all()[0])
                    del self.running[key]

    def reply(self, asked: dict) -> dict:
        text = self.tokenizer.apply_chat_template(asked["messages"], add_generation_prompt=True)
        ids = self.tokenizer.encode(text, add_special_tokens=False).input_ids
        config = genai.GenerationConfig()
        config.max_new_tokens = asked.get("max_tokens") or asked.get("max_completion_tokens") or 512
        stop = asked.get("stop") or []
        config.stop_strings = {stop} if isinstance(stop, str) else set(stop)
        config.eos_token_id = self.tokenizer.get_eos_token_id()
        config.stop_token_ids = {config.eos_token_id}
        if asked.get("temperature"):
            config.do_sample, config.temperature = True, asked["temperature"]
            config.top_p, config.rng_seed = asked.get("top_p") or 1.0, asked.get("seed") or 0
        done: queue.Queue = queue.Queue()
        self.waiting.put((ids, config, done))
        output = done.get()
        made, given = len(output.generated_ids), ids.shape[1]
        words = self.tokenizer.decode(output.generated_ids)
        reason = "length" if output.finish_reason == genai.GenerationFinishReason.LENGTH else "stop"
        message = {"role": "assistant", "content": words}
        return {
            "id": f"chatcmpl-{time.time_ns()}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made},
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the .gguf file")
    parser.add_argument("--port", type=int, default=8089)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    engine = Engine(given.model, given.threads)
    engine.start()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(engine.reply(asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    print(f"serving {given.model} at http://127.0.0.1:{given.port}/v1", flush=True)
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
