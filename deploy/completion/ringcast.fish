# fish completion of ringcast: the words come from the program itself.
complete -c ringcast -f -n '__fish_is_nth_token 1' -a '(ringcast help --words 2>/dev/null)'
complete -c ringcast -n 'not __fish_is_nth_token 1' -a '(ringcast help --words (commandline -opc)[2] 2>/dev/null)'
