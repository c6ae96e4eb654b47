from django.urls import re_path

from freezer_dashboard.content.project_quotas import views

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^(?P<project_id>[^/]+)/edit$', views.EditView.as_view(), name='edit'),
]
