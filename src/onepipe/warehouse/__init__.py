"""The warehouse: the only room that runs DuckDB. Few verbs, so that another form of it could stand behind them."""
