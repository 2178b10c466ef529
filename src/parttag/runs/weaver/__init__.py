"""weaver-core's data configurations and command lines to configurations of parttag."""
