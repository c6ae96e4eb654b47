from django.urls import re_path

from freezer_dashboard.content.jobs import views

JOB = r'^(?P<job_id>[^/]+)/'

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^create$', views.CreateView.as_view(), name='create'),
    re_path(JOB + r'$', views.DetailView.as_view(), name='detail'),
    re_path(JOB + r'edit$', views.EditView.as_view(), name='edit'),
    re_path(JOB + r'clone$', views.CloneView.as_view(), name='clone'),
    re_path(JOB + r'retention$', views.RetentionView.as_view(), name='retention'),
]
