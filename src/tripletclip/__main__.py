"""``python -m tripletclip``, which is also what ``torchrun -m tripletclip`` runs."""

from tripletclip.cli import main

if __name__ == "__main__":
    main()
