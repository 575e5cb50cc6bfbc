"""Accept, translate, deliver: the only place that knows the order of the stages and their transactions."""
