"""The case that all functional tests are."""

import unittest

from tests.functional import world


class FunctionalTest(unittest.TestCase):
    """Runs commands in the shared world."""

    @classmethod
    def setUpClass(cls):
        cls.world = world.shared()

    def do(self, *words, user='member'):
        """A command that must succeed."""
        answer = self.world.run(user, 'backup', *words)
        self.assertEqual(0, answer.status, answer.err)
        return answer

    def json(self, *words, user='member'):
        """The document that a command prints."""
        return self.do(*words, '-f', 'json', user=user).json()

    def refused(self, *words, text, user='member', status=1):
        """A command that must fail with this text, as one message and no traceback."""
        answer = self.world.run(user, 'backup', *words)
        self.assertEqual(status, answer.status, answer.out + answer.err)
        self.assertIn(text, answer.err)
        self.assertNotIn('Traceback', answer.err)
        return answer
