"""Classifiers of images of which few are labelled."""
