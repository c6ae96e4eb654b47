"""What others have written for Horizon and Freezer, on this service, in the Horizon whose Python runs this."""

import os

import django

# The client of freezer-web-ui would rather take a login from there than the token of its user.
for name in [name for name in os.environ if name.startswith('OS_')]:
    del os.environ[name]
os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'openstack_dashboard.settings')
django.setup()
