"""What protects people's browsers, and what is reached through them: hosts, origins, CORS, response headers.

Begin with `middleware`; `origin` has its pure rules, `headers` what every response carries.
"""
