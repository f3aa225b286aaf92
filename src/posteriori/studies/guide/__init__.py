"""What maintainers measure for the pages under docs/ and for the tables in settings/: ``python -m`` each of them.

`make guide` runs those that write a page. They need the pictures in DATA, and some the extra `bench`.
"""
