"""What only the containers of docker-compose.yml need: settings, scripts and the worker's health check. The server never imports it."""
