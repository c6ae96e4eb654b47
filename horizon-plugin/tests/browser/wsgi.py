"""Horizon with the files of `enabled/` as if they were in its folder; nothing is copied there."""

import os

from django.core.wsgi import get_wsgi_application
from openstack_dashboard.local import enabled

import freezer_dashboard.enabled

enabled.__path__ = list(enabled.__path__) + list(freezer_dashboard.enabled.__path__)
os.environ['DJANGO_SETTINGS_MODULE'] = 'openstack_dashboard.settings'

application = get_wsgi_application()
