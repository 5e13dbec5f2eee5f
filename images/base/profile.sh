# shellcheck shell=sh
# Login shells: the container's own PATH back (Debian's /etc/profile replaced it), and on to the project.
if [ -n "${RIGSTACK_PATH:-}" ]; then
    PATH=$RIGSTACK_PATH
    export PATH
fi
case $- in
    *i*)
        if [ "$PWD" = "$HOME" ] && [ -d "/code/${RIGSTACK_PROJECT:-}" ]; then
            cd "/code/$RIGSTACK_PROJECT" || :
        fi
        ;;
esac
