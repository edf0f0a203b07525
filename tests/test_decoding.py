import subprocess
import sys

SEVERAL_THREADS = """
import sys, threading
from msgspec import Struct
from lrat_sim.decoding import convert, from_json

sys.setswitchinterval(1e-6)
start = threading.Barrier(4)

def decode(outer):
    start.wait()
    assert convert({"inner": [{"x": 1}]}, outer).inner[0].x == 1
    start.wait()
    assert from_json('{"inner": null}', outer).inner is None

for _ in range(300):
    class Inner(Struct):
        x: "int | None" = None
        y: "list[str] | None" = None
    class Outer(Struct):
        inner: "list[Inner] | None" = None
        more: "dict[str, int] | None" = None
    threads = [threading.Thread(target=decode, args=(Outer,)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("done")
"""


def test_threads_may_be_the_first_to_decode_a_type():
    # in a process of its own: msgspec by itself ends it within a few rounds
    done = subprocess.run([sys.executable, "-c", SEVERAL_THREADS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
