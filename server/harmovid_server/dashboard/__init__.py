"""`harmovid dashboard`: a server's queue, jobs, frames and engines in a web browser.

A separate process that is a client of the server like any other, with its own key: it can see and do what that key
may, and nothing else. Pages are rendered here (Starlette, Jinja); there is no build step and no inline script.

    command.py   the command and its flags      source.py   requests to the server, few at a time
    app.py       routes and answers             guard.py    access: hosts, logins, origins, headers
    views.py     from the server's answers to rows and texts of a page
    templates/   static/                        pages; one script and one style sheet
"""
