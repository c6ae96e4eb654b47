from django.urls import re_path

from freezer_dashboard.content.sessions import views

SESSION = r'^(?P<session_id>[^/]+)/'

urlpatterns = [
    re_path(r'^$', views.IndexView.as_view(), name='index'),
    re_path(r'^create$', views.CreateView.as_view(), name='create'),
    re_path(SESSION + r'$', views.DetailView.as_view(), name='detail'),
    re_path(SESSION + r'edit$', views.EditView.as_view(), name='edit'),
    re_path(SESSION + r'attach$', views.AttachView.as_view(), name='attach'),
]
