"""Questions to the service that are asked at the same time, with an end to the waiting."""

import concurrent.futures

from django.utils import translation
from django.utils.translation import gettext as _

from freezer_dashboard.api import ServiceError

# What one page asks of the service at once.
AT_ONCE = 8
PATIENCE_SECONDS = 20


def answers(questions):
    """What each of some functions gives, by their keys; a ServiceError where it was refused or is late.

    Who is late is not waited for. Any other exception is raised: with it no answer would be another.
    """
    language = translation.get_language()

    def asked(question):
        # Threads have a language of their own.
        with translation.override(language):
            try:
                return question()
            except ServiceError as error:
                return error

    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    try:
        pending = {key: pool.submit(asked, question) for key, question in questions.items()}
        concurrent.futures.wait(pending.values(), PATIENCE_SECONDS,
                                concurrent.futures.FIRST_EXCEPTION)
        ended = [future for future in pending.values() if future.done()]
        for future in ended:
            future.result()
        late = ServiceError(_('The backup service did not answer in time. Try again later.'))
        return {key: future.result() if future in ended else late
                for key, future in pending.items()}
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
