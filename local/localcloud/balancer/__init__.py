"""Elastic Load Balancing: an HAProxy for every application load balancer, which follows the API and reports health to it."""
