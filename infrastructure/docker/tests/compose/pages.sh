# shellcheck shell=bash
# The proxy of the overlay in front of servers that only tell what they were asked:
# who is let in to which page, and what arrives behind it.

readonly nginx_image=nginxinc/nginx-unprivileged:1.28-alpine

# PAGE PORT PATH: where a page is, which server is behind it, what arrives there.
readonly pages="/grafana/ 3000 /grafana/
/pgadmin/ 5050 /pgadmin/
/redis-commander/ 8081 /redis-commander/
/redis-insight/ 5540 /redis-insight/
/jaeger/search 16686 /jaeger/search
/prometheus/ 9090 /
/prometheus/api/v1/query?query=up%2F2 9090 /api/v1/query?query=up%2F2
/alertmanager/ 9093 /
/kibana/app/home 5601 /app/home
/rabbitmq/ 15672 /
/rabbitmq/js/main.js 15672 /js/main.js"

# One server under all names: it answers with its port, the path, and what it was
# shown. What speaks TLS has the certificate of the folder $1.
start_echo() {
    local conf=$tree/echo.conf certificate=$1 network name
    local -a aliases=()
    cat >"$conf" <<'CONF'
worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events {}
http {
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    access_log off;
    ssl_certificate /tls/server.crt; ssl_certificate_key /tls/server.key;
    server {
        listen 3000; listen 5050; listen 8081; listen 5540; listen 16686; listen 9090; listen 9093;
        listen 5601; listen 15672; listen 7420; listen 15671 ssl;
        location / { return 200 "$server_port $request_uri authorization=[$http_authorization] cookie=[$http_cookie] ready\n"; }
    }
}
stream {
    server { listen 5672; return "plain"; }
    server { listen 5671 ssl; ssl_certificate /tls/server.crt; ssl_certificate_key /tls/server.key; return "encrypted"; }
}
CONF
    chmod 0644 "$conf"
    for name in grafana pgadmin redis-commander redis-insight jaeger-query prometheus alertmanager kibana rabbitmq server; do
        aliases+=(--network-alias "$name")
    done
    network=$("$docker" inspect --format '{{ range $name, $one := .NetworkSettings.Networks }}{{ println $name }}{{ end }}' \
        "$(container_of proxy)" | grep edge_network)
    "$docker" rm -f "${prefix}echo" >/dev/null 2>&1 || true
    "$docker" run -d --name "${prefix}echo" --network "$network" "${aliases[@]}" --tmpfs /tmp \
        -v "$conf:/etc/nginx/nginx.conf:ro" -v "$tree/infrastructure/docker/tls/$certificate:/tls:ro" --user 0 "$nginx_image" >/dev/null
}

# ask PATH CURL-OPTION…: the status, then the answer.
ask() {
    local path=$1
    shift
    curl -s --path-as-is --max-time 10 -w '\n%{http_code}\n' --cacert "$tree/infrastructure/docker/tls/ca/ca.crt" "$@" \
        "https://localhost:$(value_of PROXY_HTTPS_PORT)$path" | tac
}

# answers STATUS PATH CURL-OPTION…: whether it is that status; tells if it isn't.
answers() {
    local wanted=$1 said
    shift
    said=$(ask "$@")
    [ "$(head -n 1 <<<"$said")" = "$wanted" ] || { echo "$*: $(tr '\n' ' ' <<<"$said"), not $wanted" && return 1; }
}

start_proxy() {
    in_stack up -d --no-deps proxy || return 1
    start_echo rabbitmq || return 1
    local began=$SECONDS
    until answers 200 /readyz >/dev/null; do
        if [ $((SECONDS - began)) -ge 60 ]; then
            "$docker" logs --tail 5 "$(container_of proxy)" 2>&1
            return 1
        fi
        sleep 0.5
    done
}

pages_ask_first() {
    local page port inner said
    while read -r page port inner; do
        answers 401 "$page" || return 1
        answers 401 "$page" -u person:another || return 1
        answers 401 "$page" -u nobody:a-password || return 1
        said=$(ask "$page" -u person:a-password)
        [[ $said == "200"$'\n'*"$port $inner authorization=[] "* ]] || { echo "$page: $said" && return 1; }
    done <<<"$pages"
    # Nothing of the server needs that name: it has keys of its own.
    answers 200 /v1/status || return 1
}

pages_are_closed_without_names() {
    local page folder=$tree/infrastructure/docker/tls/proxy cookie result=0
    cookie=$(door_cookie)
    mv "$folder/htpasswd" "$folder/htpasswd.away"
    while read -r page _ _; do
        answers 401 "$page" && answers 403 "$page" -u person:a-password || result=1
    done <<<"$pages"
    answers 403 /rabbitmq/api/overview -H "Cookie: $cookie" || result=1
    mv "$folder/htpasswd.away" "$folder/htpasswd"
    return "$result"
}

# What RabbitMQ's page gives who was let in.
door_cookie() {
    ask /rabbitmq/ -u person:a-password -D - | sed -n 's/^[Ss]et-[Cc]ookie: \(collective_door=[^;]*\);.*/\1/p'
}

rabbitmqs_login_reaches_rabbitmq() {
    local cookie said port=$1
    cookie=$(door_cookie)
    [ -n "$cookie" ] || { echo "no cookie" && return 1; }
    ask /rabbitmq/ -u person:a-password -D - |
        has -i '^set-cookie: collective_door=.*; Path=/rabbitmq/api/; Secure; HttpOnly; SameSite=Strict' ||
        { echo "the cookie may be read or sent elsewhere" && return 1; }
    # Without the name of the door a login of RabbitMQ's opens nothing.
    answers 403 /rabbitmq/api/overview || return 1
    answers 403 /rabbitmq/api/overview -u admin:rabbits || return 1
    answers 403 /rabbitmq/api/overview -u person:a-password || return 1
    answers 403 /rabbitmq/api/overview -H "Cookie: collective_door=cGVyc29uOm90aGVy" || return 1
    answers 403 /rabbitmq/%61pi/overview -u admin:rabbits || return 1
    ask /rabbitmq/api/overview -D - | has -i '^www-authenticate' && echo "a browser would ask again" && return 1
    # With it RabbitMQ sees its own login, and nothing of the door.
    said=$(ask /rabbitmq/api/queues/%2F/agent.results -u admin:rabbits -H "Cookie: $cookie; m=1")
    [[ $said == "200"$'\n'*"$port /api/queues/%2F/agent.results authorization=[Basic $(printf admin:rabbits | base64)] cookie=[] "* ]] ||
        { echo "$said" && return 1; }
    # The door itself can't be opened from outside.
    answers 404 /rabbitmq/door -u person:a-password || return 1
}

inside_stays_inside() {
    local path
    for path in /metrics /prometheus/-/quit /prometheus/-/reload /alertmanager/-/reload; do
        answers 404 "$path" -X POST -u person:a-password || return 1
    done
}

# What the broker says to who comes by AMQPS.
broker_says() {
    timeout 10 openssl s_client -quiet -CAfile "$tree/infrastructure/docker/tls/ca/ca.crt" -verify_return_error \
        -connect "localhost:$(value_of PROXY_AMQPS_PORT)" </dev/null 2>/dev/null
}

broker_is() {
    local said
    said=$(broker_says || true)
    [ "$said" = "$1" ] || { echo "the broker says '$said', not '$1'" && return 1; }
}

# Someone else who answers under RabbitMQ's name is handed nothing.
another_broker_is_refused() {
    start_echo proxy || return 1
    local began=$SECONDS
    until answers 200 /readyz >/dev/null; do
        [ $((SECONDS - began)) -lt 30 ] || { echo "the servers don't come back" && return 1; }
        sleep 0.5
    done
    answers 502 /rabbitmq/ -u person:a-password || return 1
    broker_is "" || return 1
}

# The proxy alone, with both forms of a broker behind it.
run_pages() {
    version=$1
    for combination in production+proxy production+proxy+tls; do
        new_stack production
        add_certificates
        if [[ $combination == *+tls ]]; then require_tls; fi
        if check "pages: the proxy starts" start_proxy; then
            if [[ $combination == *+tls ]]; then
                check "pages: RabbitMQ's page and its login, over TLS" rabbitmqs_login_reaches_rabbitmq 15671 || true
                check "pages: AMQPS goes on to a broker over TLS" broker_is encrypted || true
                check "pages: a broker with another's certificate is refused" another_broker_is_refused || true
            else
                check "pages: each asks for a name first" pages_ask_first || true
                check "pages: closed without the file of names" pages_are_closed_without_names || true
                check "pages: RabbitMQ's page and its login" rabbitmqs_login_reaches_rabbitmq 15672 || true
                check "pages: what is for the inside" inside_stays_inside || true
                check "pages: AMQPS goes on to the broker" broker_is plain || true
            fi
        fi
        "$docker" rm -f "${prefix}echo" >/dev/null 2>&1 || true
        check "removed without a rest" removed || true
        rm -rf "$tree"
    done
}
