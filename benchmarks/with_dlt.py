"""One measured process: dlt's RESTClient, incremental by `lastupdated`, merged by id into DuckDB.

Runs in dlt's own environment and knows nothing of onepipe. `--loader default` is dlt as it comes; `parquet` is its
faster way: parquet files instead of INSERT statements, lists kept as JSON, no child tables (max_table_nesting=0).
Both read pages of 100 with the same filter; neither keeps raw records or history, which onepipe does.
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator


def opportunities(base_url: str, nesting: int | None) -> Any:
    """The resource: one page at a time, only what was updated since the newest row seen."""
    pages = PageNumberPaginator(base_page=1, page_param="page", total_path="num_pages")
    client = RESTClient(base_url=base_url, paginator=pages, data_selector="opportunities")

    @dlt.resource(name="opportunities", primary_key="id", write_disposition="merge", max_table_nesting=nesting)
    def rows(updated: Any = dlt.sources.incremental("lastupdated")) -> Iterator[Any]:  # noqa: B008 - dlt's own idiom
        params = {"api_token": "invented", "limit": 100}
        if updated.last_value:
            params["updated_after"] = updated.last_value
        yield from client.paginate("opportunities", params=params)

    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base_url")
    parser.add_argument("folder")
    parser.add_argument("--loader", choices=["default", "parquet"], default="default")
    asked = parser.parse_args()
    destination = dlt.destinations.duckdb(f"{asked.folder}/dlt.duckdb")
    pipeline = dlt.pipeline("bench", destination=destination, dataset_name="crm", pipelines_dir=f"{asked.folder}/state")
    began = time.perf_counter()
    fast = asked.loader == "parquet"
    pipeline.run(opportunities(asked.base_url, 0 if fast else None), loader_file_format="parquet" if fast else None)
    seconds = time.perf_counter() - began
    with pipeline.sql_client() as sql, sql.execute_query("SELECT count(*) FROM opportunities") as cursor:
        rows = cursor.fetchall()[0][0]
    print(json.dumps({"inside": seconds, "rows": rows}))
