# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the nodes of a mesh share the sequences."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragments of crossover.pgedge."""

    DOCUMENTATION = r"""
options:
  sequences:
    description: How the nodes of a mesh share the sequences.
    type: dict
    default: {}
    suboptions:
      how:
        description:
          - V(offset) gives every node values of its own. With three nodes and an increment of 1 the first one draws
            1, 4, 7, the second one 2, 5, 8. The default where there are several nodes.
          - V(keep) leaves the sequences' definitions alone and sets every node to the source's position. On several
            nodes they draw the same values, so it is for sequences that one node only calls. The default with one node.
          - V(snowflake) is carried like V(offset), until M(crossover.pgedge.snowflake_sequence) converts it. One that
            has been converted is left alone.
        type: str
        choices: [offset, snowflake, keep]
      exceptions:
        description: Sequences that are treated otherwise.
        type: list
        elements: dict
        default: []
        suboptions:
          sequence:
            description: The sequence as in SQL, with its schema.
            type: str
            required: true
          how:
            description: What is chosen for it.
            type: str
            required: true
            choices: [offset, snowflake, keep]
      stride:
        description:
          - For how many nodes there is room. The default is the number of O(sequences.nodes). More leaves room for
            nodes that come later.
        type: int
      nodes:
        description:
          - The names of all nodes, in an order that stays; it decides which values are whose. The default is the nodes
            that the module works on, in their order.
        type: list
        elements: str
        default: []
"""
