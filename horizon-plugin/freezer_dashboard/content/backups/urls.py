from django.urls import re_path

from freezer_dashboard.content.backups import views

BACKUP = r'^(?P<backup_id>[^/]+)/'

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^confirm$', views.ConfirmView.as_view(), name='confirm'),
    re_path(r'^plan/(?P<run_id>[^/]+)$', views.PlanView.as_view(), name='plan'),
    re_path(BACKUP + r'$', views.DetailView.as_view(), name='detail'),
    re_path(BACKUP + r'restore$', views.RestoreView.as_view(), name='restore'),
    re_path(BACKUP + r'check$', views.CheckView.as_view(), name='check'),
    re_path(BACKUP + r'pin$', views.PinView.as_view(), name='pin'),
    re_path(BACKUP + r'unpin$', views.UnpinView.as_view(), name='unpin'),
    re_path(BACKUP + r'delete$', views.DeleteView.as_view(), name='delete'),
]
