"""The field above a table that shows only the rows which have a text somewhere."""

from horizon import tables


class Filter(tables.FilterAction):
    """A row says by `searched` in what it is looked for."""

    def filter(self, table, rows, wanted):
        wanted = wanted.lower()
        return [row for row in rows
                if any(wanted in str(text).lower() for text in row.searched())]
