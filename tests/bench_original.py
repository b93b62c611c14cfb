"""What people run today, reduced to its loop: requests, iter_lines, json."""

import json
import sys

import requests

with requests.post(sys.argv[1], stream=True, verify=sys.argv[2]) as r:
    for line in r.iter_lines(chunk_size=512):
        if line:
            message = json.loads(line)
            if "text" in message:
                sys.stdout.write(json.dumps(message) + "\n")
