"""The yardsticks: the same jobs done by the same libraries, without anything a service adds to them."""
