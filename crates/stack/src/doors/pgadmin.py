# One account of pgAdmin, by pgAdmin's own code in its container. Comes with three
# lines before it: EMAIL; PASSWORD, the one to try; NEW, the one to set, or None.
import http.client
import logging
import os
import re
import sys
import urllib.parse

# What pgAdmin says while it is loaded is nobody's business here.
logging.disable(logging.CRITICAL)

import config
from flask_security.utils import hash_password, verify_password
from pgadmin import create_app
from pgadmin.model import User, db

app = create_app(config.APP_NAME + "-cli")
with app.test_request_context():
    user = User.query.filter_by(username=EMAIL, auth_source="internal").first()
    if user is None:
        sys.exit(f"there is no user {EMAIL}")
    if NEW is not None:
        user.password = hash_password(NEW)
        # As pgAdmin's own page does it: three wrong logins lock an account.
        user.login_attempts, user.locked = 0, False
        db.session.commit()
        sys.exit(0)
    # For that reason a wrong password isn't tried at the door.
    if not verify_password(PASSWORD, user.password):
        sys.exit("it is another password")

# The door: the page, its token, the login.
base = os.environ.get("SCRIPT_NAME", "")
door = http.client.HTTPConnection("127.0.0.1", int(os.environ["PGADMIN_LISTEN_PORT"]), timeout=20)
cookies = {}


def ask(method, path, body=None, headers={}):
    sent = "; ".join(f"{name}={value}" for name, value in cookies.items())
    door.request(method, path, body, {"Cookie": sent, "User-Agent": "collective", **headers})
    answer = door.getresponse()
    for name, value in answer.getheaders():
        if name.lower() == "set-cookie":
            name, _, value = value.split(";")[0].partition("=")
            cookies[name] = value
    return answer, answer.read().decode(errors="replace")


answer, page = ask("GET", base + "/login")
token = re.search(r'"csrfToken":\s*"([^"]+)"', page)
if token is None:
    sys.exit(f"its login page gives no token (HTTP {answer.status})")
form = urllib.parse.urlencode({"email": EMAIL, "password": PASSWORD, "csrf_token": token[1]})
answer, _ = ask("POST", base + "/authenticate/login", form, {"Content-Type": "application/x-www-form-urlencoded"})
place = answer.getheader("Location", "")
if answer.status != 302 or "/login" in place:
    sys.exit(f"its login page refuses (HTTP {answer.status} {place})")
# Nobody needs the session.
ask("GET", base + "/logout")
