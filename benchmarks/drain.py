"""One measured process: every page through onepipe's door to the network, and nothing else done with it."""

import argparse
import json
import time

from onepipe.http import Http

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("rows", type=int)
    asked = parser.parse_args()
    with Http(asked.base_url, query={"api_token": "invented"}) as http:
        began, size = time.perf_counter(), 0
        for page in range(1, -(-asked.rows // 100) + 1):
            size += len(http.get("/opportunities", limit=100, page=page).content)
        seconds = time.perf_counter() - began
    print(json.dumps({"inside": seconds, "rows": asked.rows, "bytes": size}))
