from pyff.cli import main

main()
