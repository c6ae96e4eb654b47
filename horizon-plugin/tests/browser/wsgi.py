"""Horizon with the files of `enabled/` as if they were in its folder; nothing is copied there."""

import gc
import itertools
import os

from django.conf import settings
from django.core.signals import request_finished
from django.core.wsgi import get_wsgi_application
from openstack_dashboard.local import enabled

import freezer_dashboard.enabled

enabled.__path__ = list(enabled.__path__) + list(freezer_dashboard.enabled.__path__)
os.environ['DJANGO_SETTINGS_MODULE'] = 'openstack_dashboard.settings'
# What styles and scripts that were made beforehand are looked up by is not the same in each process: some themes of some
# installations are not found then. They are made when they are first asked for.
settings.COMPRESS_OFFLINE = False
# Newer Horizons leave a connection to Neutron and to Nova behind each page, until garbage is collected, which is seldom in a process
# of this size. Debian's Neutron has 100 places and keeps an idle connection in its place for 15 minutes: it answered nobody any more.
PAGES = 10
_pages = itertools.count(1)


def collect(**_kwargs):
    if next(_pages) % PAGES == 0:
        gc.collect()


request_finished.connect(collect)
application = get_wsgi_application()
