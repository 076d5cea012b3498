"""An AWS account on this machine: the API (moto), and real containers for what the API says exists."""
