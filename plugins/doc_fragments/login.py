# Copyright: (c) 2026, The Crossover authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which every module reaches a server."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation fragments of crossover.pgedge."""

    DOCUMENTATION = r"""
options:
  login_host:
    description:
      - Host of the server. Empty means the local socket.
    type: str
    default: ""
    aliases: [host]
  login_port:
    description: Port of the server.
    type: int
    default: 5432
    aliases: [port]
  login_user:
    description: The role to log in as.
    type: str
    default: postgres
    aliases: [login]
  login_password:
    description:
      - Password of O(login_user). It never appears in results, logs or process lists.
    type: str
    default: ""
  login_unix_socket:
    description: Directory of the server's local socket, instead of O(login_host).
    type: str
    default: ""
    aliases: [unix_socket]
  login_db:
    description: The database to connect to. V(postgres) if not given.
    type: str
    aliases: [db, database]
  ssl_mode:
    description: libpq's C(sslmode).
    type: str
    default: prefer
    choices: [allow, disable, prefer, require, verify-ca, verify-full]
  ca_cert:
    description: File with the certificates of trusted authorities (libpq's C(sslrootcert)).
    type: str
    aliases: [ssl_rootcert]
  ssl_cert:
    description: File with the client's certificate.
    type: path
  ssl_key:
    description: File with the client's key.
    type: path
  connect_params:
    description: Further libpq connection parameters, by their libpq names.
    type: dict
    default: {}
  session_role:
    description: Switch to this role after the login, with C(SET ROLE).
    type: str
  trust_input:
    description:
      - Accepted for compatibility with community.postgresql. Every value is quoted or bound here, whatever this says.
    type: bool
    default: true
requirements:
  - psycopg >= 3.1
notes:
  - The module runs where its task runs (the runner) and reaches the server over libpq; psycopg 3 must be
    installed for the Python that Ansible uses there.
  - What the module does means this server alone. On a Spock node its DDL is never replicated, whatever the node's
    settings say.
"""

    SOURCE = r"""
options:
  source:
    description:
      - The source, with the same options as the top level has for the node.
    type: dict
    required: true
    suboptions:
      login_host:
        description: Host of the server. Empty means the local socket.
        type: str
        default: ""
        aliases: [host]
      login_port:
        description: Port of the server.
        type: int
        default: 5432
        aliases: [port]
      login_user:
        description: The role to log in as.
        type: str
        default: postgres
        aliases: [login]
      login_password:
        description: Password of O(source.login_user).
        type: str
        default: ""
      login_unix_socket:
        description: Directory of the server's local socket.
        type: str
        default: ""
        aliases: [unix_socket]
      login_db:
        description: The database to connect to.
        type: str
        aliases: [db, database]
      ssl_mode:
        description: libpq's C(sslmode).
        type: str
        default: prefer
        choices: [allow, disable, prefer, require, verify-ca, verify-full]
      ca_cert:
        description: File with the certificates of trusted authorities.
        type: str
        aliases: [ssl_rootcert]
      ssl_cert:
        description: File with the client's certificate.
        type: path
      ssl_key:
        description: File with the client's key.
        type: path
      connect_params:
        description: Further libpq connection parameters.
        type: dict
        default: {}
      session_role:
        description: Switch to this role after the login.
        type: str
      trust_input:
        description: Accepted for compatibility with community.postgresql.
        type: bool
        default: true
"""

    PUBLISHING_NODE = r"""
options:
  publishing_node:
    description:
      - The publishing node, to compare this node with instead of the source, with the same options as the top level.
        Both are nodes of one mesh, and the barrier is the mesh's.
    type: dict
    suboptions:
      login_host:
        description: Host of the server. Empty means the local socket.
        type: str
        default: ""
        aliases: [host]
      login_port:
        description: Port of the server.
        type: int
        default: 5432
        aliases: [port]
      login_user:
        description: The role to log in as.
        type: str
        default: postgres
        aliases: [login]
      login_password:
        description: Password of O(publishing_node.login_user).
        type: str
        default: ""
      login_unix_socket:
        description: Directory of the server's local socket.
        type: str
        default: ""
        aliases: [unix_socket]
      login_db:
        description: The database to connect to.
        type: str
        aliases: [db, database]
      ssl_mode:
        description: libpq's C(sslmode).
        type: str
        default: prefer
        choices: [allow, disable, prefer, require, verify-ca, verify-full]
      ca_cert:
        description: File with the certificates of trusted authorities.
        type: str
        aliases: [ssl_rootcert]
      ssl_cert:
        description: File with the client's certificate.
        type: path
      ssl_key:
        description: File with the client's key.
        type: path
      connect_params:
        description: Further libpq connection parameters.
        type: dict
        default: {}
      session_role:
        description: Switch to this role after the login.
        type: str
      trust_input:
        description: Accepted for compatibility with community.postgresql.
        type: bool
        default: true
"""

    FURTHER_NODES = r"""
options:
  further_nodes:
    description:
      - The other nodes of the mesh, each with the options that the top level has.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the node.
        type: str
        required: true
      landing:
        description:
          - Whether it has a subscription of its own to the source. Without one it can only have joined the mesh after
            the switch.
        type: bool
        default: true
      login_host:
        description: Host of the server. Empty means the local socket.
        type: str
        default: ""
        aliases: [host]
      login_port:
        description: Port of the server.
        type: int
        default: 5432
        aliases: [port]
      login_user:
        description: The role to log in as.
        type: str
        default: postgres
        aliases: [login]
      login_password:
        description: Password of O(further_nodes[].login_user).
        type: str
        default: ""
      login_unix_socket:
        description: Directory of the server's local socket.
        type: str
        default: ""
        aliases: [unix_socket]
      login_db:
        description: The database to connect to.
        type: str
        aliases: [db, database]
      ssl_mode:
        description: libpq's C(sslmode).
        type: str
        default: prefer
        choices: [allow, disable, prefer, require, verify-ca, verify-full]
      ca_cert:
        description: File with the certificates of trusted authorities.
        type: str
        aliases: [ssl_rootcert]
      ssl_cert:
        description: File with the client's certificate.
        type: path
      ssl_key:
        description: File with the client's key.
        type: path
      connect_params:
        description: Further libpq connection parameters.
        type: dict
        default: {}
      session_role:
        description: Switch to this role after the login.
        type: str
      trust_input:
        description: Accepted for compatibility with community.postgresql.
        type: bool
        default: true
"""

    NODES = r"""
options:
  nodes:
    description:
      - The nodes, each with the options that the top level has.
    type: list
    elements: dict
    suboptions:
      name:
        description: What the node is called in lines of progress, results and errors.
        type: str
        required: true
      subscription:
        description: Name of its subscription.
        type: str
        required: true
      slots:
        description: As O(slots), for this node.
        type: list
        elements: str
      login_host:
        description: Host of the server. Empty means the local socket.
        type: str
        default: ""
        aliases: [host]
      login_port:
        description: Port of the server.
        type: int
        default: 5432
        aliases: [port]
      login_user:
        description: The role to log in as.
        type: str
        default: postgres
        aliases: [login]
      login_password:
        description: Password of O(nodes[].login_user).
        type: str
        default: ""
      login_unix_socket:
        description: Directory of the server's local socket.
        type: str
        default: ""
        aliases: [unix_socket]
      login_db:
        description: The database to connect to.
        type: str
        aliases: [db, database]
      ssl_mode:
        description: libpq's C(sslmode).
        type: str
        default: prefer
        choices: [allow, disable, prefer, require, verify-ca, verify-full]
      ca_cert:
        description: File with the certificates of trusted authorities.
        type: str
        aliases: [ssl_rootcert]
      ssl_cert:
        description: File with the client's certificate.
        type: path
      ssl_key:
        description: File with the client's key.
        type: path
      connect_params:
        description: Further libpq connection parameters.
        type: dict
        default: {}
      session_role:
        description: Switch to this role after the login.
        type: str
      trust_input:
        description: Accepted for compatibility with community.postgresql.
        type: bool
        default: true
"""
