from django.urls import re_path

from freezer_dashboard.content.all_jobs import views

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^(?P<project_id>[^/]+)/(?P<job_id>[^/]+)/$', views.RunsView.as_view(), name='runs'),
]
