from django.urls import re_path

from freezer_dashboard.content.all_projects import views

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^(?P<project_id>[^/]+)/$', views.DetailView.as_view(), name='detail'),
]
