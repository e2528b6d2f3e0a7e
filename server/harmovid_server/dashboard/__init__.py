"""`harmovid dashboard`: a server's queue, jobs, frames and engines in a web browser.

A process of its own that speaks to the server as every client does, with a key of its own: it can see and do what
that key can, and nothing else. Pages are rendered here (Starlette, Jinja); there is no build step and no inline script.

    command.py   the command and its flags      source.py   questions to the server, few at a time
    app.py       routes and answers             guard.py    who may come in: hosts, logins, origins, headers
    views.py     from the server's words to rows and texts of a page
    templates/   static/                        pages; one script and one style sheet
"""
