class CreateNotes < ActiveRecord::Migration[8.0]
  def change
    create_table :notes do |t|
      t.string :body, null: false
      t.integer :words
      t.timestamps
    end
  end
end
