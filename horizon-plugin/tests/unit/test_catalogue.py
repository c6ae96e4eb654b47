"""The catalogues have all that the code says, and each language all of the catalogue."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from babel.messages import pofile

PLUGIN = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOCALE = 'freezer_dashboard/locale'


def catalogue(path):
    with open(path, 'rb') as file:
        return pofile.read_po(file)


def said(messages):
    return {(message.context, message.id) for message in messages if message.id}


class Catalogue(unittest.TestCase):
    def test_the_template_has_what_the_code_says(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, 'plugin')
            shutil.copytree(PLUGIN, copy)
            subprocess.run([copy + '/make-catalogues'], check=True, capture_output=True,
                           env=dict(os.environ, PYTHON=sys.executable))
            now = said(catalogue(os.path.join(copy, LOCALE, 'django.pot')))
        kept = said(catalogue(os.path.join(PLUGIN, LOCALE, 'django.pot')))
        self.assertEqual((now - kept, kept - now), (set(), set()), 'run ./make-catalogues')

    def test_each_language_says_all_of_it_with_the_same_places_to_fill_in(self):
        wanted = said(catalogue(os.path.join(PLUGIN, LOCALE, 'django.pot')))
        paths = glob.glob(os.path.join(PLUGIN, LOCALE, '*/LC_MESSAGES/django.po'))
        self.assertTrue(paths)
        for path in paths:
            messages = catalogue(path)
            self.assertEqual(said(messages), wanted, path)
            for message in messages:
                if message.id:
                    texts = message.string if message.pluralizable else (message.string,)
                    self.assertTrue(all(texts) and not message.fuzzy, message.id)
                    self.assertEqual(list(message.check(messages)), [], message.id)
