# bash completion of ringcast: the words come from the program itself.
_ringcast() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    # "--config=FILE" is three words to bash.
    [[ $previous != = ]] || previous=${COMP_WORDS[COMP_CWORD - 2]}
    case $previous in
        -c | --config | --socket | --secret-file | --key | --jwks | --jwks-ca | --binary-dir) mapfile -t COMPREPLY < <(compgen -f -- "${word#=}"); return ;;
    esac
    if ((COMP_CWORD == 1)) || [[ $command == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(ringcast help --words 2>/dev/null)" -- "$word")
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$(ringcast help --words "$command" 2>/dev/null)" -- "$word")
    [[ $command != check || $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
complete -o filenames -F _ringcast ringcast
