"""Reports for people: figures of the published warehouse as text, as one page with pictures, as JSON.

`words` is what a report is made of; `pipeline`, `forecast`, `velocity`, `health` and `difference` each make one;
`page` and `drawing` put it on a page.
"""
