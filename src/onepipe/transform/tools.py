"""The macros that transforms and compiled SQL lean on, each below those it uses.

A macro is expanded where it stands, so an argument that is used twice must be a plain column. Lambdas are written the
one way that both 1.5 and 2.0 read. `array_to_string` is not used: it is a macro itself, and evaluates its list twice.
Whatever can raise stands in `try`: a CASE around it is not enough, 1.5 may evaluate a cast before the condition.
"""

NUMBER = "-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?"  # of JSON


def matches(pattern: str) -> str:
    """SQL: x is of this form from its first to its last letter."""
    return f"regexp_full_match(x, '{pattern}')"


TOOLS = {
    # Most texts have no outer blanks: looking at both ends first is three times cheaper than trimming each.
    "trimmed(x)": r"""nullif(
    CASE WHEN left(x, 1) <= ' ' OR right(x, 1) <= ' ' THEN trim(x, e' \t\r\n') ELSE x END, '')""",
    "items(x, shape)": "CASE WHEN left(x, 1) = '[' THEN try(from_json(x, shape)) END",
    "json_text(x)": "to_json(nullif(x, ''))::VARCHAR",
    "json_number(x)": f"CASE WHEN {matches(NUMBER)} THEN x ELSE json_text(x) END",
    # from_json gives an object, a list and a text alike as text: only one that looks like JSON is looked up again.
    "no_object(x, payload, paths)": """CASE WHEN x IS NULL OR left(x, 1) NOT IN ('{', '[')
    OR NOT list_has_any(try(json_type(payload, paths)), ['OBJECT', 'ARRAY']) THEN x END""",
    "no_object_in(x, payload, paths)": """CASE WHEN x IS NULL OR NOT regexp_matches(x, '[{[]')
    OR NOT list_has_any(try(json_type(payload, paths)), ['OBJECT', 'ARRAY']) THEN x END""",
    # The elements of a list, each as its JSON. What stands there and is none is an element that is a text.
    "elements(x)": """list_transform(items(x, '["JSON"]'), lambda e: coalesce(e, 'null'::JSON))""",
    "ordered(list, path)": """list_transform(list_sort(list_transform(list, lambda e, n: {
    'key': coalesce(try_cast(json_extract_string(e, path) AS DOUBLE), 'infinity'::DOUBLE), 'n': n, 'e': e})),
    lambda s: s.e)""",
    "elements_in(e, path)": """CASE WHEN left(e, 1) <> '{' THEN [to_json(e::VARCHAR)]
    WHEN coalesce(json_type(e, path), 'NULL') = 'NULL' OR json_extract_string(e, path) = '' THEN []::JSON[]
    ELSE coalesce(elements(json_extract(e, path)::VARCHAR), [to_json(json_extract(e, path)::VARCHAR)]) END""",
    # Of an object that holds one object under a name of its own, that name and that object.
    "only_key(e)": "CASE WHEN left(e, 1) = '{' AND len(json_keys(e)) = 1 THEN json_keys(e)[1] END",
    "only_value(e)": "CASE WHEN only_key(e) IS NOT NULL THEN json_extract(e, '$.*')[1] ELSE to_json(e::VARCHAR) END",
    "opened(e, shape)": "CASE WHEN left(e, 1) = '{' THEN try(from_json(e, shape)) END",
    # What stands where an object belongs: from_json makes a struct of NULLs of it, but NULL of null and of nothing.
    "not_object(struct, leaf, payload, path)": """CASE WHEN struct IS NOT NULL AND leaf IS NULL
    AND try(json_type(payload, path)) <> 'OBJECT' THEN try(payload ->> path) END""",
    "id_and_name(x)": """nullif('{' || concat_ws(',', '"id":' || nullif(json_value(x, '$.id'), '""'),
    '"name":' || nullif(json_value(x, '$.name'), '""')) || '}', '{}')""",
    # What a merge patch left of a record: scalars stay, of an object its id and name, of a list and "" nothing.
    "scalars_of(rest)": """CASE WHEN NOT regexp_matches(rest::VARCHAR, ':([{[]|"")') THEN rest
    ELSE ('{' || coalesce(list_aggregate(list_transform(list_zip(json_keys(rest), json_extract(rest, '$.*')), lambda e:
        to_json(e[1])::VARCHAR || ':' || CASE WHEN left(e[2], 1) = '{' THEN id_and_name(e[2])
            WHEN left(e[2], 1) <> '[' THEN nullif(e[2], '""') END),
        'string_agg', ','), '') || '}')::JSON END""",
    # One object of a list of {name, mark, value}, the values being JSON; a name that stands twice gets its mark.
    "object_of(entries)": """list_transform([entries], lambda l: CASE WHEN l IS NOT NULL THEN
    '{' || coalesce(list_aggregate(list_transform(l, lambda e: to_json(
        CASE WHEN len(list_filter(l, lambda o: o.name = e.name)) > 1 THEN concat(e.name, ' (', e.mark, ')')
        ELSE e.name END)::VARCHAR || ':' || e.value), 'string_agg', ','), '') || '}' END)[1]::JSON""",
    "unread(field, sent, value, reason)": """CASE WHEN sent IS NOT NULL AND value IS NULL
    THEN {'field': field, 'value': sent, 'reason': reason} END""",
}
