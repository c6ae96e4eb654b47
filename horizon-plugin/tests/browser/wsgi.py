"""Horizon with the files of `enabled/` as if they were in its folder; nothing is copied there."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from openstack_dashboard.local import enabled

import freezer_dashboard.enabled

enabled.__path__ = list(enabled.__path__) + list(freezer_dashboard.enabled.__path__)
os.environ['DJANGO_SETTINGS_MODULE'] = 'openstack_dashboard.settings'
# What styles and scripts that were made beforehand are looked up by is not the same in each process: some themes of some
# installations are not found then. They are made when they are first asked for.
settings.COMPRESS_OFFLINE = False

application = get_wsgi_application()
