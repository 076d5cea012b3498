"""Elastic Load Balancing: an HAProxy for every application load balancer, following the API."""
