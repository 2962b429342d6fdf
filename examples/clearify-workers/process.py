"""One job: the payload on standard input, the result on standard output."""

import json
import os
import sys


def main() -> None:
    job = json.load(sys.stdin)
    text = job["text"]
    template = job.get("template", "plain")
    result = {
        "id": os.environ["JOB_ID"],
        "queue": os.environ["JOB_QUEUE"],
        "userId": job.get("userId"),
        "text": f"[{template}] {text.strip().capitalize()}",
        "words": len(text.split()),
    }
    json.dump(result, sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
