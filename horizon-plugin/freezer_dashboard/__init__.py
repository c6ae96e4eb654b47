"""Backups in Horizon: panels of the backup service for projects and administrators."""

__version__ = '1.0.0'
