# SPDX-License-Identifier: Apache-2.0
"""What exists of a fleet: one file for each layer, each with a function `read(aws)` that only reads.

A layer's answer is `{kind: {name: properties}}`. The properties have the names and shapes that the layer's role wants
them in, so that the action `plan` can compare the two; `id`, `arn` and `tags` stand beside them where there are any.
"""
