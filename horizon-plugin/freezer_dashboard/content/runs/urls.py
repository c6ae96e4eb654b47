from django.urls import re_path

from freezer_dashboard.content.runs import views

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^of/(?P<job_id>[^/]+)/$', views.FollowView.as_view(), name='follow'),
    re_path(r'^(?P<run_id>[^/]+)/$', views.DetailView.as_view(), name='detail'),
    re_path(r'^(?P<run_id>[^/]+)/state$', views.StateView.as_view(), name='state'),
]
