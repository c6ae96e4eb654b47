"""Columns of tables whose titles are in the language of whoever looks.

Horizon's own translate their titles once, when the module is read.
"""

from horizon import tables


class _Titled:
    def __init__(self, transform, verbose_name=None, **kwargs):
        super().__init__(transform, verbose_name=verbose_name, **kwargs)
        if verbose_name is not None:
            self.verbose_name = verbose_name

    def __str__(self):
        return str(self.verbose_name)


class Column(_Titled, tables.Column):
    pass


class WrappingColumn(_Titled, tables.WrappingColumn):
    pass
