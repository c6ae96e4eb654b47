"""Compiles the translations into the package; all else is in pyproject.toml."""

import os

from babel.messages import mofile
from babel.messages import pofile
from setuptools import setup
from setuptools.command import build_py


class BuildWithCatalogues(build_py.build_py):
    def run(self):
        super().run()
        for source, target in self._catalogues():
            self.mkpath(os.path.dirname(target))
            with open(source, 'rb') as messages, open(target, 'wb') as compiled:
                mofile.write_mo(compiled, pofile.read_po(messages))

    def get_outputs(self, include_bytecode=1):
        made = [target for _source, target in self._catalogues()]
        return super().get_outputs(include_bytecode) + made

    def _catalogues(self):
        """Pairs of a translation and what it is compiled to."""
        for language in sorted(os.listdir('freezer_dashboard/locale')):
            source = os.path.join('freezer_dashboard/locale', language, 'LC_MESSAGES/django.po')
            if os.path.exists(source):
                yield source, os.path.join(self.build_lib, source[:-len('po')] + 'mo')


setup(cmdclass={'build_py': BuildWithCatalogues})
