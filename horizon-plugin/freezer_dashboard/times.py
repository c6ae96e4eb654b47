"""Epoch seconds of the service as moments in the user's time zone; -1 and absence are None."""

import datetime

from django.utils import formats
from django.utils import timezone


def moment(epoch):
    if not isinstance(epoch, (int, float)) or epoch <= 0:
        return None
    try:
        return datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    except (OverflowError, OSError, ValueError):
        return None


def shown(epoch):
    """A moment for a table, to the minute, or a dash."""
    when = moment(epoch)
    if when is None:
        return '-'
    return formats.date_format(timezone.localtime(when), 'Y-m-d H:i')


def now():
    return int(timezone.now().timestamp())
